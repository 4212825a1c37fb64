"""Spark and Flink as clusters of processes on this machine, from the pinned parts in the folder parts/.

A worker of the cluster is a process of its own, as is the SDK worker that runs our Python for it: each can be killed.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.runners.services import DOWNLOADS, Flags, download, find_tool, free_port, service, service_flags, worker_pool

_PARTS = Path(__file__).with_name("parts")
_HOST = "127.0.0.1"
WORKERS = 2
# Reflection of Spark and Flink on Java 17; the configurations that they ship have these, too.
_OPENED = (
    *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util", "util.concurrent"),
    "util.concurrent.atomic",
)
_JAVA_FLAGS = (
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
    *(f"--add-opens=java.base/sun.{name}=ALL-UNNAMED" for name in ("nio.ch", "nio.cs", "security.action")),
    "--add-opens=java.base/sun.util.calendar=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
)
# An executor keeps the connection to its SDK worker, and does not notice when that has died: every further task fails
# there. A task that has failed is therefore tried on another executor. No executor is excluded from the whole job: a
# task that must fail, for a bad request, would exclude one after the other, and the job would wait for more.
_OTHER_EXECUTOR = (
    "-Dspark.excludeOnFailure.enabled=true",
    "-Dspark.excludeOnFailure.application.maxFailedTasksPerExecutor=1000000",
)


def _jars(engine: str) -> Path:
    """Returns a folder with the jars of an engine, which are downloaded once."""
    parts = _PARTS / f"{engine}.xml"
    folder = DOWNLOADS / f"{engine}-{hashlib.sha256(parts.read_bytes()).hexdigest()[:8]}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        maven = [find_tool("mvn"), "-B", "-f", str(parts), "dependency:copy-dependencies"]
        download(f"parts of {engine}", [*maven, f"-DoutputDirectory={partial}"])
        partial.rename(folder)
    return folder


@contextlib.contextmanager
def spark(work: Path) -> Iterator[Flags]:
    """A standalone cluster: a master, two workers, which start executors, and Beam's job server as the driver."""
    java, home = find_tool("java"), work / "spark"
    home.mkdir()
    (home / "jars").symlink_to(_jars("spark"))
    (home / "RELEASE").touch()  # makes it look like a release, whose class path is jars/
    # Without the version of Scala, workers look for a build of Spark's sources.
    environment = {"SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": _HOST}
    program = [java, *_JAVA_FLAGS, "-cp", f"{home}/jars/*"]
    port, job_port = free_port(), free_port()
    master = ("org.apache.spark.deploy.master.Master", "--host", _HOST, "--port", str(port), "--webui-port", "0")
    url = f"spark://{_HOST}:{port}"
    driver = [
        *(java, "-Xmx2g", *_JAVA_FLAGS, f"-Dspark.driver.host={_HOST}", "-Dspark.executor.memory=1g"),
        f"-Dspark.executor.extraJavaOptions={' '.join(_JAVA_FLAGS)}",
        *_OTHER_EXECUTOR,
        *("-cp", f"{home}/jars/*", "org.apache.beam.runners.spark.SparkJobServerDriver"),
        *(f"--spark-master-url={url}", f"--artifacts-dir={work}", "--job-host=localhost", f"--job-port={job_port}"),
        *("--artifact-port=0", "--expansion-port=0"),
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(service([*program, *master], port, work / "master.log", **environment))
        for number in range(WORKERS):
            worker = ["org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", "2g", "--webui-port", "0"]
            folder = ["--work-dir", str(work / f"worker-{number}"), url]
            log = work / f"worker-{number}.log"
            stack.enter_context(service([*program, *worker, *folder], None, log, **environment))
        stack.enter_context(service(driver, job_port, work / "job_server.log", **environment))
        pool = stack.enter_context(worker_pool(work))
        yield (*service_flags(job_port), *pool)


@contextlib.contextmanager
def flink(work: Path) -> Iterator[Flags]:
    """A session cluster: a job manager, two task managers, and Beam's job server."""
    java, jars = find_tool("java"), _jars("flink")
    rpc, rest, job_port = free_port(), free_port(), free_port()
    configuration = work / "conf"
    configuration.mkdir()
    (configuration / "flink-conf.yaml").write_text(_FLINK.format(host=_HOST, rpc=rpc, rest=rest, work=work))
    program = [java, "-Xmx1g", "-XX:MaxDirectMemorySize=1g", *_JAVA_FLAGS, "-cp", f"{jars}/*"]
    runtime = "org.apache.flink.runtime"
    session = [f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint", "--configDir", str(configuration)]
    tasks = [f"{runtime}.taskexecutor.TaskManagerRunner", "--configDir", str(configuration)]
    server = [
        *("org.apache.beam.runners.flink.FlinkJobServerDriver", f"--flink-master={_HOST}:{rest}"),
        *(f"--artifacts-dir={work}", f"--flink-conf-dir={configuration}", "--job-host=localhost"),
        *(f"--job-port={job_port}", "--artifact-port=0", "--expansion-port=0"),
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(service([*program, *session], rest, work / "job_manager.log"))
        for number in range(WORKERS):
            stack.enter_context(service([*program, *tasks], None, work / f"task_manager-{number}.log"))
        stack.enter_context(service([*program, *server], job_port, work / "job_server.log"))
        pool = stack.enter_context(worker_pool(work))
        yield (*service_flags(job_port), "--parallelism=2", *pool)


# The memory of a task manager is what Flink's start script would work out. A job is started anew when a worker is lost,
# which Flink does by itself only for jobs with checkpoints.
_FLINK = """\
jobmanager.rpc.address: {host}
jobmanager.rpc.port: {rpc}
jobmanager.memory.process.size: 1g
rest.address: {host}
rest.port: {rest}
io.tmp.dirs: {work}
taskmanager.host: {host}
taskmanager.numberOfTaskSlots: 2
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.network.min: 512m
taskmanager.memory.network.max: 512m
taskmanager.memory.managed.size: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
heartbeat.interval: 1000
heartbeat.timeout: 10000
restart-strategy: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 1s
"""
