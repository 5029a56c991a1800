"""URLs that lead, or seem to lead, somewhere: each with whether it may be asked. Most are generated, form by form.

Names stand for what the resolver of the tests answers, which is in ``NAMES``.
"""

from ipaddress import IPv4Address

PUBLIC = "93.184.215.14"
NAMES: dict[str, list[str]] = {
    "example.com": [PUBLIC],
    "two.example.com": [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "xn--bcher-kva.example": [PUBLIC],
    "under_score.example.com": [PUBLIC],
    "1password.example": [PUBLIC],
    "nat64.example.com": ["64:ff9b::5db8:d70e"],
    "localhost": ["127.0.0.1", "::1"],
    "app.localhost": ["127.0.0.1"],
    "db": ["10.0.0.5"],
    "inside.example.com": ["192.168.1.10"],
    "mixed.example.com": [PUBLIC, "10.0.0.5"],
    "mixed6.example.com": [PUBLIC, "fd00::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "nat64-inside.example.com": ["64:ff9b::a00:5"],
    "mapped.example.com": ["::ffff:10.0.0.5"],
    "zoned.example.com": ["fe80::1%lo"],
    "any.example.com": ["0.0.0.0"],
    "any6.example.com": ["::"],
    "azure.example.com": ["168.63.129.16"],
}

ASKED = [
    "https://example.com",
    "https://example.com/",
    "https://example.com/a/b?c=d&e=%20f",
    "https://example.com?only=query",
    "HTTPS://EXAMPLE.COM/Path",
    "https://example.com:443/",
    "https://example.com:8443/mcp",
    "https://example.com./",
    "https://two.example.com/",
    "https://bücher.example/",
    "https://xn--bcher-kva.example/",
    "https://under_score.example.com/",
    "https://1password.example/",
    "https://nat64.example.com/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[2002:808:808::1]/",
    "https://example.com/@not-a-user",
    "https://example.com/a/../b",
    "https://example.com/[x]",
]

_REFUSED_FORMS = [
    # other schemes, and none
    "ftp://example.com/", "file:///etc/passwd", "file://example.com/etc/passwd", "gopher://example.com:70/_x",
    "dict://example.com:11211/stats", "ldap://example.com/", "data:text/plain,x", "javascript:alert(1)",
    "ws://example.com/", "wss://example.com/", "unix:///var/run/docker.sock", "jar:https://example.com!/",
    "example.com", "//example.com/", "/etc/passwd", "https:/example.com/", "https:example.com", "https:///example.com",
    "https://", "https://?x", "", "http+unix://%2Fvar%2Frun/", "view-source:https://example.com/", "https//example.com",
    # plain HTTP and other doors
    "http://example.com/", "http://example.com:443/", "http://8.8.8.8/", "https://example.com:80/",
    "https://example.com:22/", "https://example.com:25/", "https://example.com:6379/", "https://example.com:11211/",
    "https://example.com:0/", "https://example.com:65536/", "https://example.com:99999/", "https://example.com:/",
    "https://example.com:0443/", "https://example.com:443:443/", "https://example.com:-1/", "https://example.com:4a3/",
    "https://example.com:+443/", "https://example.com:４４３/",
    # two readings of where the host is
    "https://user@example.com/", "https://user:password@example.com/", "https://example.com@127.0.0.1/",
    "https://127.0.0.1@example.com/", "https://example.com:443@127.0.0.1/", "https://@example.com/",
    "https://example.com\\@127.0.0.1/", "https://example.com\\.127.0.0.1/", "https:\\\\example.com/",
    "https://example.com#@127.0.0.1/", "https://example.com/#fragment", "https://example.com?@127.0.0.1#",
    "https://127.0.0.1\t@example.com/", "https://example.com\r\nhost: 127.0.0.1/", "https://exa\nmple.com/",
    " https://example.com/", "https://example.com/ ", "https://example.com/a b", "https://example.com/\x00",
    "https://example.com/\x7f", "https://example.com/ü", "https://example.com/<x>", 'https://example.com/"x"',
    "https://example.com/{x}", "https://example.com/^", "https://example.com/`", "https://example.com/|",
    "https://example.com;127.0.0.1/", "https://example.com,127.0.0.1/", "https://example.com&127.0.0.1/",
    "https://(example.com)/", "https://example.com%00.127.0.0.1/", "https://example.com%2f127.0.0.1/",
    "https://%65xample.com/", "https://127.0.0.1%2f@example.com/", "https://[example.com]/", "https://[]/",
    "https://[::1/", "https://::1]/", "https://[::1]x/", "https://[[::1]]/", "https://[fe80::1%25lo]/",
    "https://[fe80::1%lo]/", "https://[v1.x]/", "https://[::ffff:127.0.0.1", "https://::1/", "https://2606:4700::1/",
    "https://[1:2:3]/", "https://[127.0.0.1]/",
    # names that are none
    "https://.example.com/", "https://example..com/", "https://./", "https://../", "https://-example.com/",
    "https://example-.com/", "https://exa mple.com/", "https://exa*mple.com/", "https://*.example.com/",
    "https://" + "a" * 64 + ".com/", "https://" + "a.b" * 100 + ".com/", "https://example.com/" + "a" * 9000,
    "https://example.123/", "https://1.2.3.4.5/", "https://256.1.1.1/", "https://1.2.3/", "https://0x/", "https://1.2.3.0x/",
    "https://\u202eexample.com/", "https://exa\u00admple\u2028.com/", "https://ex\u0338ample.com:443\u2044x/",
    # names that lead inside
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://app.localhost/", "https://db/",
    "https://inside.example.com/", "https://mixed.example.com/", "https://mixed6.example.com/",
    "https://metadata.google.internal/computeMetadata/v1/", "https://nat64-inside.example.com/",
    "https://mapped.example.com/", "https://zoned.example.com/", "https://any.example.com/", "https://any6.example.com/",
    "https://azure.example.com/", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "https://ｌｏｃａｌｈｏｓｔ/", "https://localhost。/",
    # addresses of version 6
    "https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::127.0.0.1]/", "https://[fe80::1]/",
    "https://[fec0::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fd20:ce::254]/",
    "https://[ff02::1]/", "https://[ff0e::1]/", "https://[100::1]/", "https://[2001:db8::1]/", "https://[2001::1]/",
    "https://[2001:0:5db8:d70e::1]/", "https://[2001:10::1]/", "https://[2001:20::1]/", "https://[2001:2::1]/",
    "https://[3fff::1]/", "https://[5f00::1]/", "https://[64:ff9b:1::1]/", "https://[64:ff9b:1:a00:5::]/",
    "https://[4000::1]/", "https://[e000::1]/", "https://[::ffff:8.8.8.8]/", "https://[::ffff:0:8.8.8.8]/",
]  # fmt: skip

INSIDE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.5", "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3", "192.0.0.192", "198.18.0.1", "192.0.2.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16",
]  # fmt: skip
_CIRCLED = "⓪①②③④⑤⑥⑦⑧⑨"
_WIDE = "０１２３４５６７８９"
_BOLD = "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"


def forms(text: str) -> list[str]:
    """Every way to write an IPv4 address that some resolver or parser takes for it."""
    number = int(IPv4Address(text))
    a, b, c, d = IPv4Address(text).packed
    high, low = number >> 16, number & 0xFFFF
    found = [
        text,
        f"{text}.",
        str(number),
        f"{number}.",
        f"0x{number:x}",
        f"0X{number:X}",
        f"0{number:o}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"000{a:o}.{b}.{c}.{d}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"{a}.{b}.{low}",
        f"{a}.{number & 0xFFFFFF}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
        text.replace(".", "。"),
        text.replace(".", "．"),
        text.translate(str.maketrans("0123456789", _CIRCLED)),
        text.translate(str.maketrans("0123456789", _WIDE)),
        text.translate(str.maketrans("0123456789", _BOLD)),
        "".join(f"%{ord(letter):02x}" for letter in text),
        f"[::ffff:{text}]",
        f"[::ffff:{high:x}:{low:x}]",
        f"[0:0:0:0:0:ffff:{text}]",
        f"[::{text}]",
        f"[64:ff9b::{text}]",
        f"[64:ff9b::{high:x}:{low:x}]",
        f"[2002:{high:x}:{low:x}::1]",
        f"[2001:0:{high:x}:{low:x}::1]",
        f"[2606:4700::5efe:{text}]",
        f"[2606:4700::200:5efe:{high:x}:{low:x}]",
    ]
    return list(dict.fromkeys(found))


REFUSED = list(dict.fromkeys([*_REFUSED_FORMS, *(f"https://{form}/" for address in INSIDE for form in forms(address))]))
