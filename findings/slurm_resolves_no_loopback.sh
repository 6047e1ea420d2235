#!/usr/bin/env bash
# Slurm cannot resolve "127.0.0.1" on a machine or in a network namespace that has no other address than loopback.
#
# Versions: Slurm 22.05.8, glibc 2.36 (Debian 12); seen on Python 3.11.
# Behaviour: its programs ask for the addresses of an IPv4 host by getaddrinfo(AF_INET, AI_ADDRCONFIG). With loopback alone, glibc then answers
#   "Name or service not known", to the number 127.0.0.1 as to a name; not so for AF_UNSPEC. Slurm repeats that for ten seconds and gives up:
#   slurmctld and slurmd exit. Any other address, of a documentation network on the loopback device too, and it goes on.
# A good guess: a numeric address needs no resolving, and a cluster of one node runs on loopback, as in an isolated test or a container without network.
# Why it matters: a batch script is tested on a Slurm of one node in a network namespace of its own; the error names hosts and DNS, which are in order.
set -euo pipefail
VERSION=22.05.8-4+deb12u3
[ "$(dpkg-query --show --showformat '${Version}' slurm-client 2>/dev/null)" = "$VERSION" ] || { echo "needs apt-get install slurm-client=$VERSION"; exit 77; }
unshare --map-root-user --net true || { echo "needs a network namespace"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"
cat >slurm.conf <<EOS
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=1
PartitionName=all Nodes=ALL Default=YES
EOS

SLURM_CONF=$FOLDER/slurm.conf unshare --map-root-user --net "${PYTHON:-python3}" - <<'EOS' | tee said.txt
import fcntl
import socket
import struct
import subprocess


def set_interface(number, *data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, number, *data)


def resolved(family):
    try:
        return socket.getaddrinfo("127.0.0.1", 6817, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)[0][4]
    except OSError as error:
        return error.strerror


def show(when):
    print(f"{when}: AF_INET {resolved(socket.AF_INET)}, AF_UNSPEC {resolved(socket.AF_UNSPEC)}")
    said = subprocess.run(["sinfo"], capture_output=True, text=True).stderr
    cause = "Unable to resolve" if 'Unable to resolve "127.0.0.1"' in said else "connect failure" if "connect failure" in said else said
    print(f"{when}: sinfo: {cause}")


set_interface(0x8914, struct.pack("16sh14x", b"lo", 1))  # up
show("loopback alone")
set_interface(0x8916, struct.pack("16sH2x4s8x", b"lo:0", socket.AF_INET, socket.inet_aton("192.0.2.1")))
show("with 192.0.2.1")
EOS
diff said.txt - <<'EOS'
loopback alone: AF_INET Name or service not known, AF_UNSPEC ('127.0.0.1', 6817)
loopback alone: sinfo: Unable to resolve
with 192.0.2.1: AF_INET ('127.0.0.1', 6817), AF_UNSPEC ('127.0.0.1', 6817)
with 192.0.2.1: sinfo: connect failure
EOS
