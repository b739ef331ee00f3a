"""Runs the server as the container does, inside namespaces of its own: `confined.py ROOT`, as root, under `unshare`.

The root is read-only, the user is the image's, it has no capabilities and cannot gain any. Nothing but the loopback device is
there, so the ports are those of the image. Asks /livez and /readyz, ends the server, and fails with words.
"""

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request

USER = 65532
SECONDS = 20
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38

# Both before the root changes.
libc = ctypes.CDLL(None, use_errno=True)
with open("/proc/sys/kernel/cap_last_cap") as file:
    last_capability = int(file.read())


def main(root, environment):
    bring_loopback_up()
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    expect_read_only(root)
    server = subprocess.Popen(
        ["/usr/local/bin/switchboard"], env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: confine(root)
    )
    try:
        # The log goes on being written into the pipe; it is far from full by the time the server ends.
        line = first_line(server, "listening")
        who = status(server.pid)
        assert who["Uid"].split() == [str(USER)] * 4 and who["Gid"].split() == [str(USER)] * 4, who
        assert who["NoNewPrivs"].strip() == "1" and int(who["CapEff"], 16) == 0 == int(who["CapBnd"], 16), who
        for path, expected in [("livez", 200), ("readyz", 200), ("", 404)]:
            assert ask(f"http://127.0.0.1:3000/{path}") == expected, f"/{path} is not {expected}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS) == 0, f"exit code {server.returncode} after SIGTERM"
    finally:
        server.kill()
    print("ran:", line.strip())


def confine(root):
    """What a container runtime does with `drop: [ALL]` and `allowPrivilegeEscalation: false`."""
    os.chroot(root)
    os.chdir("/")
    for capability in range(last_capability + 1):
        prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


def prctl(option, argument):
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} {argument}")


def bring_loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def expect_read_only(root):
    try:
        open(os.path.join(root, "written"), "w").close()
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("the root can be written to")


def first_line(server, word):
    signal.alarm(SECONDS)
    seen = []
    for line in server.stdout:
        seen.append(line)
        if word in line:
            signal.alarm(0)
            return line
    raise AssertionError("the server ended and said: " + "".join(seen))


def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def ask(url):
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=SECONDS).status
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
