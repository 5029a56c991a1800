"""Which URLs may be asked and which addresses dialled, by a table of forms and by properties."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rota.base.errors import Unusable
from rota.outgoing import guard
from rota.outgoing.failures import ForbiddenAddress
from tests.outgoing.corpus import ASKED, INSIDE, NAMES, REFUSED, forms


def pass_guard(url: str, allow: str = "") -> guard.Target:
    """What the guard says of a URL whose name has the addresses of the corpus."""
    target, allowed = guard.parse(url), guard.allowed(allow)
    guard.check(target, allowed)
    addresses = [target.address] if target.address is not None else list(map(ip_address, NAMES[target.host]))
    guard.judge(target, addresses, allowed)
    return target


def test_the_corpus_is_large_enough() -> None:
    assert len(REFUSED) + len(ASKED) >= 150
    assert len(set(REFUSED)) == len(REFUSED)


@pytest.mark.parametrize("url", ASKED)
def test_a_public_url_passes(url: str) -> None:
    assert pass_guard(url)


@pytest.mark.parametrize("url", REFUSED)
def test_every_other_form_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        pass_guard(url)


@pytest.mark.parametrize(
    ("url", "again"),
    [
        ("HTTPS://EXAMPLE.COM:443/Path?Q", "https://example.com/Path?Q"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com.?x", "https://example.com/?x"),
        ("https://Bücher.example:8443/", "https://xn--bcher-kva.example:8443/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://[2606:4700:0:0::1111]:8443/x", "https://[2606:4700::1111]:8443/x"),
    ],
)
def test_what_is_sent_is_put_together_from_the_parts(url: str, again: str) -> None:
    assert guard.parse(url).url == again


def test_a_refusal_names_the_host_and_the_remedy_and_nothing_that_could_be_secret() -> None:
    for url in ("https://db/hook?token=s3cret", "http://example.com/s3cret", "https://example.com:22/s3cret"):
        with pytest.raises(ForbiddenAddress) as refused:
            pass_guard(url)
        assert "s3cret" not in str(refused.value)
        assert "ROTA_ALLOW_PRIVATE_HOSTS" in str(refused.value)


def test_a_password_in_a_url_is_refused_for_what_it_is() -> None:
    with pytest.raises(ForbiddenAddress, match="user name or password"):
        guard.parse("https://user:s3cret@example.com/")


# The operator's list


LISTED: list[tuple[str, str, bool]] = [
    ("localhost", "http://localhost:8080/mcp", True),
    ("LocalHost.", "http://localhost/", True),
    ("localhost:8080", "http://localhost:8080/", True),
    ("localhost:8080", "http://localhost:8081/", False),
    ("localhost:8080", "https://localhost/", False),
    ("localhost", "http://app.localhost/", False),
    ("app.localhost", "http://localhost/", False),
    ("localhost", "http://localhost:65536/", False),
    ("localhost", "http://localhost:65535/", True),
    ("example.com", "http://example.com:81/", True),
    ("example.com:81", "http://example.com:81/", True),
    ("example.com", "http://two.example.com/", False),
    ("bücher.example", "http://xn--bcher-kva.example/", True),
    ("127.0.0.1", "http://127.0.0.1:9/", True),
    ("127.0.0.1", "http://localhost/", False),  # which is at ::1 as well
    ("127.0.0.1, ::1", "http://localhost/", True),
    ("127.0.0.1,[::1]", "http://localhost/", True),
    ("127.0.0.1:80,[::1]:80", "http://localhost/", True),
    ("127.0.0.1:80,[::1]:81", "http://localhost/", False),
    ("127.0.0.1:9", "http://127.0.0.1:10/", False),
    ("10.0.0.0/8", "http://10.200.3.4:8000/", True),
    ("10.0.0.0/8", "http://db:5000/", True),
    ("10.0.0.0/8", "http://11.0.0.1/", False),
    ("10.0.0.0/8", "https://mixed.example.com/", True),
    ("10.0.0.0/8", "http://mixed.example.com/", False),  # its public address is not listed, so https it is
    ("10.0.0.0/8", "https://localhost/", False),
    ("10.0.0.0/8", "http://example.com/", False),
    ("10.0.0.0/8", "http://[::ffff:10.0.0.5]/", False),  # a block is of addresses as they are dialled
    ("10.0.0.0/8", "https://nat64-inside.example.com/", False),
    ("64:ff9b::/96", "http://nat64-inside.example.com/", True),
    ("fd00::/8", "http://[fd00::1]:3000/", True),
    ("fd00::/8", "https://mixed6.example.com/", True),
    ("fd00::1", "http://[fd00::1]/", True),
    ("[fd00::1]:3000", "http://[fd00::1]:3000/", True),
    ("[fd00::1]:3000", "http://[fd00::1]/", False),
    ("inside.example.com", "ftp://inside.example.com/", False),
    ("inside.example.com", "http://user@inside.example.com/", False),
    ("127.0.0.1", "http://2130706433/", False),
    (" , ", "http://127.0.0.1/", False),
    ("0.0.0.0/0,::/0", "http://example.com:1/", True),
]


@pytest.mark.parametrize(("allow", "url", "passes"), LISTED)
def test_the_list_allows_what_it_names(allow: str, url: str, passes: bool) -> None:
    if passes:
        assert pass_guard(url, allow)
    else:
        with pytest.raises(ForbiddenAddress):
            pass_guard(url, allow)


@pytest.mark.parametrize(
    "entry",
    ["*", "*.internal", "http://inside", "inside:0", "inside:x", "inside:65536", "10.0.0.1/8", "10.0.0.0/33", "a b", "1.2.3",
     "2130706433", "[::1", "::1:x::", "[fd00::1]:", "user@inside", "inside/8", "-x"],
)  # fmt: skip
def test_an_entry_that_cannot_be_understood_is_named(entry: str) -> None:
    with pytest.raises(Unusable) as refused:
        guard.allowed(f"localhost,{entry}")
    assert entry in str(refused.value)
    assert "ROTA_ALLOW_PRIVATE_HOSTS" in str(refused.value)


# Properties


special = [
    "0.0.0.0", "10.0.0.0", "100.64.0.0", "127.0.0.0", "169.254.0.0", "172.16.0.0", "192.0.0.0", "192.168.0.0", "198.18.0.0",
    "224.0.0.0", "240.0.0.0", "::", "::ffff:0:0", "64:ff9b::", "64:ff9b:1::", "100::", "2001::", "2001:db8::", "2002::",
    "3fff::", "5f00::", "fc00::", "fe80::", "fec0::", "ff00::", "2000::", "3fff:ffff::", "4000::",
]  # fmt: skip
addresses = st.one_of(
    st.ip_addresses(),
    st.builds(lambda base, step: _near(base, step), st.sampled_from(special), st.integers(-(2**70), 2**112)),
    st.builds(lambda inner: IPv6Address((0x64FF9B << 96) | int(inner)), st.ip_addresses(v=4)),
    st.builds(lambda inner, rest: IPv6Address((0x2002 << 112) | (int(inner) << 80) | rest), st.ip_addresses(v=4), st.integers(0, 2**80 - 1)),
    st.builds(lambda inner: IPv6Address((0xFFFF << 32) | int(inner)), st.ip_addresses(v=4)),
)  # fmt: skip


def _near(base: str, step: int) -> IPv4Address | IPv6Address:
    start = ip_address(base)
    return type(start)((int(start) + step) % 2**start.max_prefixlen)


@given(addresses)
@example(IPv6Address("64:ff9b::a00:1"))
@example(IPv6Address("2002:7f00:1::"))
def test_no_accepted_address_is_anything_but_global(address: IPv4Address | IPv6Address) -> None:
    if not guard.is_public(address):
        return
    assert address.is_global
    assert not address.is_multicast
    assert not address.is_private
    if isinstance(address, IPv6Address):
        assert address.ipv4_mapped is None
        assert address.teredo is None
        assert not address.is_site_local
        if address.sixtofour is not None:
            assert address.sixtofour.is_global
        if int(address) >> 32 == 0x64FF9B << 64:
            assert IPv4Address(int(address) & 0xFFFFFFFF).is_global


@given(st.ip_addresses(v=4), st.sampled_from(range(len(forms("1.2.3.4")))))
def test_whatever_the_form_a_private_address_does_not_pass(address: IPv4Address, form: int) -> None:
    if guard.is_public(address):
        return
    found = forms(str(address))
    with pytest.raises(ForbiddenAddress):
        pass_guard(f"https://{found[form % len(found)]}/")


_pieces = st.lists(
    st.sampled_from(
        ["http", "https", "://", ":", "/", "//", "@", "\\", "?", "#", "%", "[", "]", ".", "..", "127.0.0.1", "0x7f", "localhost",
         "example", "com", "443", "8443", "::1", "：", "。", "／", "①", "ü", "\t", " ", "a", "-", "_", "%2e", "0"]
    ),
    max_size=9,
).map("".join)  # fmt: skip


@given(st.one_of(_pieces, _pieces.map("https://".__add__), st.text()))
def test_a_url_that_passes_has_one_reading(url: str) -> None:
    try:
        target = guard.parse(url)
    except ForbiddenAddress:
        return
    assert guard.parse(target.url) == target
    parts = urlsplit(target.url)
    assert (parts.scheme, parts.username, parts.fragment) == (target.scheme, None, "")
    assert parts.hostname == target.host
    assert target.host.isascii()
    assert (parts.port or {"https": 443, "http": 80}[parts.scheme]) == target.port
    assert target.path.startswith("/")
    assert target.url.endswith(target.path)


def test_every_address_of_the_table_is_inside() -> None:
    assert not any(guard.is_public(IPv4Address(text)) for text in INSIDE)
