#!/usr/bin/env python3
"""A Slurm cluster on this machine for as long as a command runs: one controller, two nodes.

    tests/slurm/cluster.py FOLDER COMMAND...

As root, with Debian's packages slurmctld, slurmd, slurm-client and munge. The controller, the nodes
and their key live in FOLDER; `SLURM_CONF` names the configuration to the command.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

CONF = """\
ClusterName=dvar
SlurmctldHost={host}
SlurmctldPort=27817
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=10
SchedulerParameters=bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
NodeName=node[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[27818-27819] CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """The processes of a cluster."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.conf = self.folder / "slurm.conf"
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.processes = {}

    def start(self):
        for name in ("munge", "state", "spool-node1", "spool-node2"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().split(".")[0]
        self.conf.write_text(CONF.format(folder=self.folder, host=host))
        munge = self.folder / "munge"
        # munged refuses a socket in a folder that others may not reach, or a key that they may
        munge.chmod(0o711)
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.run("munge", "munged", "--foreground", "--force", f"--key-file={key}",
                 f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
                 f"--seed-file={munge}/seed")
        self.wait(lambda: (munge / "socket").exists(), "munged")
        self.run("controller", "slurmctld", "-D", "-f", str(self.conf))
        for node in ("node1", "node2"):
            self.node(node)
        self.wait(lambda: self.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", "the nodes")

    def node(self, name):
        self.run(name, "slurmd", "-D", "-N", name, "-f", str(self.conf))

    def run(self, name, *command):
        log = open(self.folder / f"{name}.out", "a")
        self.processes[name] = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def call(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return done.stdout

    def wait(self, done, what, seconds=60):
        end = time.time() + seconds
        while not done():
            if time.time() > end:
                sys.exit(f"{what} did not come up; see {self.folder}")
            time.sleep(0.2)

    def kill(self, name):
        self.processes.pop(name).kill()

    def stop(self):
        for process in reversed(list(self.processes.values())):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    cluster = Cluster(sys.argv[1])
    try:
        cluster.start()
        return subprocess.run(sys.argv[2:], env=cluster.environment).returncode
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
