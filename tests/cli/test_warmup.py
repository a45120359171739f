from witnesses.command import npvgg


def test_a_folder_that_keeps_nothing_is_refused_before_the_work(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "inside"))
    run = npvgg("warmup")
    assert run.status == 7 and not run.out and str(tmp_path / "file" / "inside") in run.err and "NPVGG_CACHE" in run.err


def test_kernels_that_could_not_be_kept_are_no_success(monkeypatch, tmp_path):
    from npvgg.kernels.compiling import code_files

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(code_files, "UNKEPT", ["compiled kernels cannot be kept there (No space left on device); free some"])
    run = npvgg("warmup", "--tier", "reference")
    assert run.status == 7 and not run.out and "No space left on device" in run.err
