"""Attempts to get out of a box, each a few lines of Python that run inside and print ESCAPED if they succeed.

``$NAME`` is filled in by ``escapes``: what there is to be reached outside. ``call(n, …)`` is a system call by its number, and says
whether the filter let it through.
"""

PRELUDE = r"""
import ctypes, errno, os, re, resource, signal, socket, struct, subprocess, sys, mmap, fcntl
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
def call(x86, arm, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(x86 if X86 else arm, *arguments)
    return done != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)
def escaped(that=True):
    if that: print("ESCAPED", flush=True)
def opens(path, flags=os.O_RDONLY):
    fd = os.open(path, flags); os.close(fd); escaped()
def reads(path):
    escaped("$CANARY" in open(path, errors="replace").read())
def connects(family, address, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind); s.settimeout(1); s.connect(address); escaped()
def proxy(text):
    s = socket.create_connection(("127.0.0.1", 3128), 5); s.sendall(text.encode()); got = b""
    s.settimeout(3)
    try:
        while piece := s.recv(4096): got += piece
    except OSError: pass
    return got.decode(errors="replace")
def tunnel(authority):
    answer = proxy(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    assert answer.startswith("HTTP/1.1 "), answer
    escaped(" 200 " in answer.split("\r\n")[0])
"""

ATTEMPTS: dict[str, str] = {
    # Files of others
    "read /etc/shadow": "opens('/etc/shadow')",
    "read a file of the server": "reads('$DATABASE')",
    "list the server's folder": "os.listdir('$SERVER'); escaped()",
    "list another session's folder": "os.listdir('$OTHER'); escaped()",
    "read another session's file": "reads('$OTHER/secret.txt')",
    "read by /proc/self/root": "reads('/proc/self/root$DATABASE')",
    "read by /proc/1/root": "os.listdir('/proc/1/root'); escaped()",
    "read by /proc/1/cwd": "os.listdir('/proc/1/cwd'); escaped()",
    "climb out by dots": "reads('/workspace/../../../../../../..$DATABASE')",
    "follow a link out": "os.path.lexists('/workspace/l1') and os.unlink('/workspace/l1'); os.symlink('$DATABASE', '/workspace/l1'); reads('/workspace/l1')",
    "hard link to an upload to write it": "os.link('/mnt/session/uploads/given.txt', '/workspace/hard'); escaped()",
    "write an upload": "opens('/mnt/session/uploads/given.txt', os.O_WRONLY)",
    "replace an upload": "os.rename('/workspace/keep', '/mnt/session/uploads/given.txt'); escaped()",
    "remove an upload": "os.unlink('/mnt/session/uploads/given.txt'); escaped()",
    "make an upload writable": "os.chmod('/mnt/session/uploads/given.txt', 0o777); escaped()",
    "write /etc/passwd": "opens('/etc/passwd', os.O_WRONLY)",
    "write into /usr": "opens('/usr/bin/x', os.O_CREAT | os.O_WRONLY)",
    "write into /": "opens('/x', os.O_CREAT | os.O_WRONLY)",
    "write into /dev": "opens('/dev/x', os.O_CREAT | os.O_WRONLY)",
    "write into /run and /etc": "[opens(p, os.O_CREAT | os.O_WRONLY) for p in ('/run/x', '/etc/x')]",
    "change the tool host's code": "import glob; [opens(p, os.O_WRONLY) for p in glob.glob('/run/rota/**/*.py*', recursive=True)]",
    "read what others left in /dev/shm": "reads('/dev/shm/$SHM')",
    "read what others left in /tmp": "reads('/tmp/$SHM')",
    "open by handle": "escaped(call(304, 265, -100, 0, 0)); escaped(call(303, 264, -100, b'/', 0, 0, 0))",
    # Processes
    "see the server's process": "escaped(os.path.exists('/proc/$PID'))",
    "see anybody's process": "escaped(any(b'pytest' in open(f'/proc/{p}/cmdline', 'rb').read() for p in os.listdir('/proc') if p.isdigit()))",
    "signal the server": "os.kill($PID, 0); escaped()",
    "kill the tool host": "os.kill(1, 9)",
    "read the tool host's environment": "opens('/proc/1/environ')",
    "find the canary in an environment": "[escaped(b'$CANARY' in open(f'/proc/{p}/environ', 'rb').read()) for p in os.listdir('/proc') if p.isdigit() and os.access(f'/proc/{p}/environ', os.R_OK)]",
    "find the server's settings in one's own environment": "escaped(any(n.startswith('ROTA') or '$CANARY' in v for n, v in os.environ.items()))",
    "trace the tool host": "escaped(call(101, 117, 16, 1, 0, 0)); escaped(call(101, 117, 0x4206, 1, 0, 0))",
    "be traced": "escaped(call(101, 117, 0, 0, 0, 0))",
    "read the tool host's memory": "opens('/proc/1/mem', os.O_RDWR)",
    "write into memory by process_vm_writev": "escaped(call(311, 271, 1, 0, 0, 0, 0, 0)); escaped(call(310, 270, 1, 0, 0, 0, 0, 0))",
    "take a descriptor of the tool host": "p = libc.syscall(434, 1, 0); escaped(call(438, 438, p, 3, 0))",
    "list descriptors of the tool host": "os.listdir('/proc/1/fd'); escaped()",
    "inherit a descriptor": "escaped(FDS != ['0', '1', '2', '3'])",
    "find a socket in any process": "[escaped(os.readlink(f'/proc/{p}/fd/{f}').startswith('socket')) for p in os.listdir('/proc') if p.isdigit() and p != str(os.getpid()) and os.access(f'/proc/{p}/fd', os.R_OK) for f in os.listdir(f'/proc/{p}/fd')]",
    "compare kernel objects": "escaped(call(312, 272, 1, os.getpid(), 0, 0, 0))",
    # Kernel
    "write core_pattern": "opens('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
    "write a network setting": "opens('/proc/sys/net/ipv4/ip_forward', os.O_WRONLY)",
    "write how processes are named": "opens('/proc/sys/kernel/modprobe', os.O_WRONLY)",
    "press the magic key": "escaped(not os.path.samefile('/proc/sysrq-trigger', '/dev/null') and os.access('/proc/sysrq-trigger', os.W_OK))",
    "move interrupts": "opens('/proc/irq/default_smp_affinity', os.O_WRONLY)",
    "read kernel memory": "escaped(open('/proc/kcore', 'rb').read(1))",
    "read kernel messages": "escaped(open('/proc/kmsg', 'rb', 0).read(1))",
    "read kernel keys": "escaped(open('/proc/keys').read())",
    "find /sys": "escaped(os.path.exists('/sys/kernel'))",
    "mount": "escaped(call(165, 40, b'none', b'/tmp', b'tmpfs', 0, None))",
    "remount /proc/sys writable": "escaped(call(165, 40, b'none', b'/proc/sys', None, 0x1020, None))",
    "unmount": "escaped(call(166, 39, b'/workspace', 2))",
    "mount by the new calls": "[escaped(call(n, n, 0, 0, 0, 0, 0)) for n in (428, 429, 430, 431, 432, 433, 442, 467)]",
    "change the root": "escaped(call(161, 51, b'/workspace')); escaped(call(155, 41, b'.', b'.'))",
    "unshare a user namespace": "escaped(call(272, 97, 0x10000000))",
    "unshare any namespace": "[escaped(call(272, 97, f)) for f in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000, 0x80)]",
    "clone a user namespace": "escaped(call(56, 220, 0x10000000 | 17, 0, 0, 0, 0))",
    "clone by clone3": "escaped(call(435, 435, 0, 0))",
    "enter a namespace": "escaped(call(308, 268, os.open('/proc/self/ns/net', 0), 0))",
    "unshare by the program": "escaped(subprocess.run(['unshare', '-Ur', 'true'], stderr=-3).returncode == 0)",
    "use io_uring": "escaped(call(425, 425, 1, bytes(120)))",
    "load a program into the kernel": "escaped(call(321, 280, 5, bytes(120), 120))",
    "count what the processor does": "escaped(call(298, 241, bytes(120), 0, -1, -1, 0))",
    "handle page faults": "escaped(call(323, 282, 0)); escaped(call(323, 282, 1))",
    "use the keyring": "escaped(call(250, 219, 0, -3, 1)); escaped(call(248, 217, b'user', b'x', b'y', 1, -3)); escaped(call(249, 218, b'user', b'x', 0, -3))",
    "load a module": "escaped(call(175, 105, b'', 0, b'')); escaped(call(313, 273, 0, b'', 0)); escaped(call(176, 106, b'x', 0))",
    "start another kernel": "escaped(call(246, 104, 0, 0, 0, 0)); escaped(call(320, 294, 0, 0, 0, b'', 0))",
    "call the kernel as a 32-bit program": "escaped(X86 and libc.syscall(0x40000000 + 39) > 0)",
    "call the kernel by the old gate": (
        "if X86:\n"
        "    m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('b814000000cd80c3'))\n"
        "    escaped(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))() > 0)"
    ),
    "call what this list does not know": "escaped(call(470, 470, 0)); escaped(call(900, 900, 0))",
    "set the clock": "escaped(call(227, 112, 0, bytes(16))); escaped(call(164, 170, bytes(16), 0))",
    "rename the machine": "escaped(call(170, 161, b'x', 1))",
    "read the kernel's log": "escaped(call(103, 116, 3, bytes(100), 100))",
    "swap, quotas, accounting, reboot": "[escaped(call(a, b, 0, 0, 0, 0)) for a, b in ((167, 224), (179, 60), (163, 89), (169, 142))]",
    # Privileges
    "become root": "os.setuid(0); escaped()",
    "change groups": "os.setgroups([0]); escaped()",
    "hold a capability": "escaped(any(int(l.split()[1], 16) for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapBnd', 'CapAmb'))))",
    "gain by a setuid program": "escaped('NoNewPrivs:\\t1' not in open('/proc/self/status').read())",
    "honour setuid on a mount": "escaped(any('nosuid' not in l.split()[3].split(',') for l in open('/proc/mounts')))",
    "make a setuid program": "import shutil; shutil.copy('/usr/bin/id', '/workspace/id'); os.chmod('/workspace/id', 0o6755); escaped('euid=' in subprocess.run(['/workspace/id'], capture_output=True, text=True).stdout)",
    "run su": "escaped(b'uid=0' in subprocess.run('su -c id || sudo -n id', shell=True, capture_output=True, stdin=-3).stdout)",
    "make a device": "os.mknod('/workspace/dev', 0o20600, os.makedev(1, 1)); escaped()",
    "open the machine's devices": "import glob; [opens(p) for p in ('/dev/mem', '/dev/kmsg', '/dev/fuse', '/dev/kvm', '/dev/sda', '/dev/vda', '/dev/loop-control', '/dev/net/tun') if os.path.exists(p)]",
    "raise one's limits": "[(resource.setrlimit(l, (resource.RLIM_INFINITY,) * 2), escaped()) for l in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)]",
    "be spared when memory is short": "open('/proc/self/oom_score_adj', 'w').write('-1000') and None; escaped(int(open('/proc/self/oom_score_adj').read()) < 0)",
    "leave the control group": "escaped(any(os.access(p, os.W_OK) for p in ('/sys/fs/cgroup', '/sys/fs/cgroup/memory/cgroup.procs', '/sys/fs/cgroup/cgroup.procs')))",
    # Terminal and messages
    "type into the terminal": "fd = os.open('/dev/tty', os.O_RDWR); fcntl.ioctl(fd, 0x5412, b'x'); escaped()",
    "type into a terminal of one's own": "a, b = os.openpty(); fcntl.ioctl(b, 0x5412, b'x'); escaped()",
    "attach shared memory of others": "escaped(libc.shmget($SHMKEY, 0, 0) != -1)",
    "see message queues of others": "escaped(len(open('/proc/sysvipc/shm').readlines()) > 1)",
    # Network
    "reach the server's port": "connects(socket.AF_INET, ('127.0.0.1', $PORT))",
    "reach the server's port by IPv6": "connects(socket.AF_INET6, ('::1', $PORT))",
    "reach the metadata service": "connects(socket.AF_INET, ('169.254.169.254', 80))",
    "reach a private address": "connects(socket.AF_INET, ('10.0.0.1', 80))",
    "reach a public address": "connects(socket.AF_INET, ('192.0.2.1', 443))",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53)); escaped()",
    "look a name up": "socket.getaddrinfo('example.com', 443); escaped()",
    "see an interface": "escaped([n for _, n in socket.if_nameindex()] != ['lo'])",
    "reach a socket of the machine by its path": "connects(socket.AF_UNIX, '$UNIX')",
    "reach a socket of the machine by an abstract name": "connects(socket.AF_UNIX, '\\0$ABSTRACT')",
    "open the hypervisor's socket": "socket.socket(40, socket.SOCK_STREAM); escaped()",
    "open a packet socket": "socket.socket(17, socket.SOCK_RAW, 0); escaped()",
    "open a raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); escaped()",
    "open the kernel's other sockets": "bad = []\nfor f in (38, 44, 29, 31, 30, 21, 15, 16):\n    try: socket.socket(f, socket.SOCK_RAW, 9 if f == 16 else 0); escaped()\n    except OSError: pass",
    "add an interface": "escaped(subprocess.run('ip link add d0 type dummy', shell=True, stderr=-3).returncode == 0)",
    # Through the proxy
    "by the proxy to loopback": "tunnel('127.0.0.1:$PORT')",
    "by the proxy to localhost": "tunnel('localhost:$PORT')",
    "by the proxy to loopback in other spellings": "[tunnel(h + ':$PORT') for h in ('0.0.0.0', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '127.0.0.1.')]",
    "by the proxy to loopback by IPv6": "[tunnel(h + ':$PORT') for h in ('[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[fe80::1]')]",
    "by the proxy to the metadata service": "[tunnel(h) for h in ('169.254.169.254:80', '[fd00:ec2::254]:80', '168.63.129.16:80', '100.100.100.200:80', 'metadata.test:80')]",
    "by the proxy to private addresses": "[tunnel(h + ':443') for h in ('10.0.0.1', '172.16.0.1', '192.168.0.1', '100.64.0.1', '[fd00::1]', '224.0.0.1')]",
    "by the proxy to a name that leads inside": "[tunnel(h + ':$PORT') for h in ('inside.test', 'both.test', 'INSIDE.TEST', 'inside.test.', 'ⓘnside.test')]",
    "by the proxy to another name at each look": "[tunnel('turning.test:$PORT') for _ in range(4)]",
    "by a plain request to loopback": "[escaped('$GREETING' in proxy(f'GET http://{h}:$PORT/ HTTP/1.1\\r\\nHost: public.test\\r\\n\\r\\n')) for h in ('127.0.0.1', 'localhost', 'inside.test', '[::1]')]",
    "by a host header that differs": "escaped('$GREETING' in proxy('GET http://public.test/ HTTP/1.1\\r\\nHost: 127.0.0.1:$PORT\\r\\n\\r\\n'))",
    "by a user name that looks like a host": "escaped('$GREETING' in proxy('GET http://public.test@127.0.0.1:$PORT/ HTTP/1.1\\r\\nHost: public.test\\r\\n\\r\\n'))",
    "by a second request behind the first": "escaped('$GREETING' in proxy('GET http://open.test:$OPEN/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nGET http://127.0.0.1:$PORT/ HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'))",
    "by two lengths": "escaped('$GREETING' in proxy('POST http://open.test:$OPEN/ HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET http://127.0.0.1:$PORT/ HTTP/1.1\\r\\n\\r\\n'))",
    "by CONNECT with a body": "escaped('$GREETING' in proxy('CONNECT 127.0.0.1:$PORT HTTP/1.1\\r\\nContent-Length: 3\\r\\n\\r\\nabc'))",
    "by a line within a line": "escaped('$GREETING' in proxy('CONNECT open.test:$OPEN\\nHost: x HTTP/1.1\\r\\nHost: 127.0.0.1:$PORT\\r\\n\\r\\n'))",
    "by a redirect": "import urllib.request\ntry: escaped('$GREETING' in urllib.request.urlopen('http://open.test:$OPEN/redirect', timeout=5).read().decode())\nexcept urllib.error.HTTPError as e: assert e.code == 403, e",
    "by a file address": "escaped('$CANARY' in proxy('GET file://$DATABASE HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'))",
}  # fmt: skip
