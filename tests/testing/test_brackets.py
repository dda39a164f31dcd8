import pytest

from b24oauth.testing.brackets import parse_query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1&b=two", {"a": "1", "b": "two"}),
        ("a=1&a=2", {"a": "2"}),
        ("a&b=", {"a": "", "b": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=x+y%20z%2B", {"a": "x y z+"}),
        ("n=%D0%98%D0%B2%D0%B0%D0%BD", {"n": "Иван"}),
        ("f%5B%3EID%5D=5", {"f": {">ID": "5"}}),
        ("f[a][b][c]=1&f[a][d]=2", {"f": {"a": {"b": {"c": "1"}, "d": "2"}}}),
        ("k[]=a&k[]=b", {"k": ["a", "b"]}),
        ("k[]=", {"k": [""]}),
        ("k[0]=a&k[1]=b", {"k": ["a", "b"]}),
        ("k[1]=b&k[0]=a", {"k": {"1": "b", "0": "a"}}),
        ("k[5]=a&k[]=b", {"k": {"5": "a", "6": "b"}}),
        ("k[00]=a", {"k": {"00": "a"}}),
        ("k[0][id]=1&k[1][id]=2", {"k": [{"id": "1"}, {"id": "2"}]}),
        ("k[][id]=1&k[][id]=2", {"k": [{"id": "1"}, {"id": "2"}]}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=1&a=2", {"a": "2"}),
        ("a[b]tail=1", {"a": {"b": "1"}}),
        ("a[b=1", {"a_b": "1"}),
        ("a.b=1&c d=2", {"a_b": "1", "c_d": "2"}),
        ("a[b.c]=1", {"a": {"b.c": "1"}}),
        ("=1&[x]=2", {}),
        ("0=a&1=b", {"0": "a", "1": "b"}),
    ],
)
def test_reads_what_php_reads(text, expected):
    assert parse_query(text) == expected


def test_bytes_that_are_no_text_do_not_stop_it():
    assert parse_query("a=%FF") == {"a": "\ufffd"}
