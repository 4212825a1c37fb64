from pathlib import Path
from beam_jobs.main import main
from tests.beam_jobs.conftest import Source
def test_e2e(cloud, tmp_path):
    source = Source(tmp_path / "source").fill(10)
    for path in source.root.rglob("*.*"):
        cloud.put(path.relative_to(source.root).as_posix(), path.read_bytes())
    import time; t=time.time()
    assert main(["prepare", "--images=gs://bucket/images/*", "--annotations=gs://bucket/annotations/*.xml", "--output=gs://bucket/out"]) == 0
    print(time.time()-t, len(cloud.requests))
    from collections import Counter
    print(Counter(cloud.requests).most_common())
    files = cloud.read_all("out/")
    print({k:len(v) for k,v in files.items()})
    assert main(source.flags(tmp_path/"out"))==0
    print({p.relative_to(tmp_path).as_posix():p.stat().st_size for p in (tmp_path/"out").rglob("*")})
    for p in (tmp_path/"out").rglob("*"):
        if p.is_file(): print(p.name, files.get(p.relative_to(tmp_path/"out").as_posix())==p.read_bytes())
    assert 0
