"""Applications: installation, events, pages and robots, verified and as objects."""

from b24oauth.apps.app import B24App
from b24oauth.apps.batches import OfflineBatch, OfflineEvent
from b24oauth.apps.channels import FeatureMissingError
from b24oauth.apps.events import (
    AppTested,
    AppUpdated,
    BotEvent,
    Event,
    EventAuth,
    Installed,
    MethodConfirmed,
    OfflineSignal,
    Paid,
    PortalRequest,
    SettingsOpened,
    SubscriptionRenewed,
    Uninstalled,
    UserReady,
    read_event,
)
from b24oauth.apps.frames import frame_page
from b24oauth.apps.handlers import Middleware
from b24oauth.apps.health import PortalHealth, RunnerHealth
from b24oauth.apps.http import Request, Response
from b24oauth.apps.leasing import LeaseLostError
from b24oauth.apps.offline import OfflineEvents
from b24oauth.apps.pages import Page, Session
from b24oauth.apps.requests import (
    CodeReturned,
    Incoming,
    MessageRequested,
    PageOpened,
    RobotStarted,
    SettingsSaved,
    read_body,
    read_request,
)
from b24oauth.apps.routing import Router
from b24oauth.apps.runner import Runner
from b24oauth.apps.running import run_portals
from b24oauth.apps.subscribing import subscribe_offline
from b24oauth.apps.syncing import Registered, SyncReport
from b24oauth.apps.turns import turn_is_over
from b24oauth.apps.verifying import NotGenuineError, Proof, is_genuine

__all__ = [
    "AppTested",
    "AppUpdated",
    "B24App",
    "BotEvent",
    "CodeReturned",
    "Event",
    "EventAuth",
    "FeatureMissingError",
    "Incoming",
    "Installed",
    "LeaseLostError",
    "MessageRequested",
    "MethodConfirmed",
    "Middleware",
    "NotGenuineError",
    "OfflineBatch",
    "OfflineEvent",
    "OfflineEvents",
    "OfflineSignal",
    "Page",
    "PageOpened",
    "Paid",
    "PortalHealth",
    "PortalRequest",
    "Proof",
    "Registered",
    "Request",
    "Response",
    "RobotStarted",
    "Router",
    "Runner",
    "RunnerHealth",
    "Session",
    "SettingsOpened",
    "SettingsSaved",
    "SubscriptionRenewed",
    "SyncReport",
    "Uninstalled",
    "UserReady",
    "frame_page",
    "is_genuine",
    "read_body",
    "read_event",
    "read_request",
    "run_portals",
    "subscribe_offline",
    "turn_is_over",
]
