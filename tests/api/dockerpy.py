"""The paths that programs with the package `docker` take; every step says what it found wrong by failing."""

import io
import os
import sys
import tarfile
import threading

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.types import LogConfig, Mount, Ulimit

client = docker.from_env(timeout=120)
ARCHIVE = sys.argv[1]


def raises(kind, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except kind as error:
        return error
    raise AssertionError(f"{call} did not raise {kind}")


def daemon():
    assert client.ping()
    version = client.version()
    assert version["Os"] == "linux" and version["ApiVersion"], version
    # The version is negotiated, or one that is asked for.
    assert docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version="1.41").ping()
    info = client.info()
    assert info["OSType"] == "linux" and info["Swarm"]["LocalNodeState"] == "inactive", info
    assert client.df()["LayersSize"] > 0
    error = raises(APIError, client.swarm.reload)
    assert error.status_code == 503 and "not a swarm manager" in error.explanation, error


def images():
    with open(ARCHIVE, "rb") as archive:
        client.api.import_image(archive.read(), repository="imported", tag="1")
    image = client.images.get("imported:1")
    assert image.tags == ["imported:1"], image.tags
    assert image.tag("imported", "2")
    image.reload()
    assert sorted(image.tags) == ["imported:1", "imported:2"]
    assert image.history()[0]["Size"] > 0
    assert image in client.images.list(name="imported")
    assert [i.short_id for i in client.images.list(filters={"reference": "imported:2"})] == [image.short_id]
    saved = b"".join(image.save(named=True))
    client.images.remove("imported:2")
    client.images.remove("imported:1")
    raises(ImageNotFound, client.images.get, "imported:1")
    loaded = client.images.load(saved)
    assert loaded[0].id == image.id, loaded
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        text = b"FROM busybox\nRUN echo built > /file\nLABEL made=here\nCMD cat /file\n"
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    context.seek(0)
    built, lines = client.images.build(fileobj=context, custom_context=True, tag="built:1")
    assert built.labels == {"made": "here"}, built.labels
    assert any("Successfully tagged built:1" in line.get("stream", "") for line in lines)
    assert client.containers.run("built:1", remove=True) == b"built\n"
    client.images.remove("built:1", force=True)


def runs():
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
    assert client.containers.run("busybox", ["sh", "-c", "echo $A; pwd"], environment={"A": "b"},
                                 working_dir="/tmp", auto_remove=False, remove=True) == b"b\n/tmp\n"
    error = raises(ContainerError, client.containers.run, "busybox", "sh -c 'echo bad >&2; exit 4'",
                   remove=True, stderr=True)
    assert error.exit_status == 4 and error.stderr == b"bad\n", (error.exit_status, error.stderr)
    lines = client.containers.run("busybox", "sh -c 'for i in 1 2 3; do echo $i; done'", stream=True, remove=True)
    assert b"".join(lines) == b"1\n2\n3\n"


def life():
    container = client.containers.create(
        "busybox", "sh -c 'echo out; echo err >&2; exec sleep 1000'", name="life", labels={"l": "v"},
        environment=["X=1"], mem_limit="64m", ports={"80/tcp": ("127.0.0.1", None)}, hostname="here",
        ulimits=[Ulimit(name="nofile", soft=64, hard=128)], log_config=LogConfig(type="json-file"),
        mounts=[Mount("/data", "vol")], tmpfs={"/scratch": "size=1m"}, restart_policy={"Name": "on-failure"})
    assert container.status == "created"
    container.start()
    container.reload()
    assert container.status == "running" and container.labels == {"l": "v"}
    assert container.attrs["HostConfig"]["Memory"] == 64 << 20
    assert container.ports["80/tcp"][0]["HostIp"] == "127.0.0.1", container.ports
    for chunk in container.logs(stream=True, follow=True):
        if b"err" in chunk:
            break
    assert container.logs(stderr=False) == b"out\n"
    assert b" out\n" in container.logs(timestamps=True, tail="all")
    assert client.containers.get("life").id == container.id
    assert [c.name for c in client.containers.list(filters={"label": "l=v"})] == ["life"]
    assert "sleep" in container.top()["Processes"][0][-1]
    stats = container.stats(stream=False)
    assert stats["memory_stats"]["limit"] == 64 << 20 and stats["pids_stats"]["current"] == 1, stats
    executes(container)
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.update(mem_limit="80m", memswap_limit="160m")
    container.rename("renamed")
    container.reload()
    assert container.name == "renamed" and container.attrs["HostConfig"]["Memory"] == 80 << 20
    assert [change["Path"] for change in container.diff() if change["Path"] == "/made"] == ["/made"]
    image = container.commit(repository="committed", tag="1", changes="LABEL a=b")
    assert image.labels == {"a": "b", "l": "v"} or image.labels == {"a": "b"}, image.labels
    exported = b"".join(container.export())
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert "made" in tar.getnames()
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    container.restart(timeout=0)
    container.kill()
    assert container.wait()["StatusCode"] == 137
    error = raises(APIError, container.kill)
    assert error.status_code == 409, error
    container.remove(v=True)
    raises(NotFound, client.containers.get, "renamed")
    client.images.remove("committed:1")


def executes(container):
    result = container.exec_run(["sh", "-c", "echo one; echo two >&2; touch /made; exit 3"], demux=True)
    assert result.exit_code == 3 and result.output == (b"one\n", b"two\n"), result
    assert container.exec_run("id -u", user="worker").output == b"1000\n"
    assert container.exec_run("sh -c 'echo $E $PWD'", environment={"E": "e"}, workdir="/tmp").output == b"e /tmp\n"
    assert container.exec_run("tty", tty=True).output.startswith(b"/dev/"), "a terminal"
    assert b"".join(container.exec_run("echo streamed", stream=True).output) == b"streamed\n"
    execution = client.api.exec_create(container.id, "cat", stdin=True)
    stream = client.api.exec_start(execution["Id"], socket=True)
    stream._sock.sendall(b"through\n")
    stream._sock.shutdown(1)
    assert b"through\n" in stream._sock.recv(4096)
    stream.close()


def attaches():
    container = client.containers.create("busybox", "cat", stdin_open=True, tty=False, name="attached")
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    stream._sock.sendall(b"echoed\n")
    received = b""
    while b"echoed\n" not in received:
        received += stream._sock.recv(4096)
    assert received.startswith(b"\x01\0\0\0"), received
    stream.close()
    container.remove(force=True)


def volumes_and_networks():
    volume = client.volumes.create("named", labels={"a": "b"}, driver="local")
    assert volume.attrs["Labels"] == {"a": "b"} and volume in client.volumes.list(filters={"label": "a"})
    client.containers.run("busybox", "touch /v/file", volumes={"named": {"bind": "/v", "mode": "rw"}}, remove=True)
    assert client.containers.run("busybox", "ls /v", volumes=["named:/v:ro"], remove=True) == b"file\n"
    volume.remove()
    raises(NotFound, client.volumes.get, "named")
    assert {"bridge", "host", "none"} <= {network.name for network in client.networks.list()}
    bridge = client.networks.get("bridge")
    assert bridge.attrs["IPAM"]["Config"][0]["Subnet"], bridge.attrs


def links():
    target = client.containers.run("busybox", "sleep 1000", name="target", ports={"80/tcp": None}, detach=True)
    own = client.containers.run(
        "busybox", ["cat", "/etc/hosts"], name="own", links={"target": "db"}, detach=True
    )
    assert own.wait()["StatusCode"] == 0
    target.reload()
    address = target.attrs["NetworkSettings"]["IPAddress"]
    assert f"{address}\tdb " in own.logs().decode(), own.logs()
    assert own.attrs["HostConfig"]["Links"] == ["/target:/own/db"], own.attrs["HostConfig"]
    assert client.api.containers(filters={"id": target.id})[0]["Names"] == ["/own/db", "/target"]
    client.api.remove_container("own/db", link=True)
    own.reload()
    assert own.attrs["HostConfig"]["Links"] is None, own.attrs["HostConfig"]
    own.remove()
    target.remove(force=True)


def events():
    seen = []
    stream = client.events(decode=True, filters={"type": "container", "event": ["create", "start", "die", "destroy"]})

    def follow():
        for event in stream:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                return

    thread = threading.Thread(target=follow)
    thread.start()
    client.containers.run("busybox", "true", remove=True)
    thread.join(120)
    assert seen == ["create", "start", "die", "destroy"], seen
    stream.close()


def prunes():
    client.containers.create("busybox", "true", labels={"pruned": "yes"})
    assert len(client.containers.prune(filters={"label": "pruned=yes"})["ContainersDeleted"]) == 1
    client.volumes.create(labels={"pruned": "yes"})
    assert len(client.volumes.prune(filters={"label": "pruned=yes"})["VolumesDeleted"]) == 1
    assert client.images.prune()["SpaceReclaimed"] >= 0
    client.networks.prune()


for step in [daemon, images, runs, life, attaches, volumes_and_networks, links, events, prunes]:
    print(step.__name__, flush=True)
    step()
print("all of it")
