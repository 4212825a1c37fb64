from beamio import files, gcs
def test_x(cloud):
    g = cloud.put("images/a.jpg", b"abc")
    assert files.list_files("gs://bucket/images/*").__next__() == files.ListedFile(path="gs://bucket/images/a.jpg", version=g)
    print(cloud.requests)
    cloud.requests.clear()
    assert files.read_bytes("gs://bucket/images/a.jpg", version=g) == b"abc"
    print(cloud.requests, cloud.connections)
    try: files.read_bytes("gs://bucket/images/a.jpg", version="7")
    except files.FileError as e: print(e)
    try: files.read_bytes("gs://bucket/images/b.jpg", version="7")
    except files.FileError as e: print(e)
    cloud.statuses["images/a.jpg"]=[403]
    try: files.read_bytes("gs://bucket/images/a.jpg", version="7")
    except files.FileError as e: print(e)
    cloud.statuses["images/a.jpg"]=[503,200]
    print(files.read_bytes("gs://bucket/images/a.jpg", version=g))
    assert 0
