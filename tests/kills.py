"""What the tests share that kill processes."""


def finish(process, timeout=300):
    """What a process prints until it ends, which must be well and within `timeout` seconds."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output


def checkpoints(run):
    """Names of the finished checkpoints in a run's folder."""
    return {path.parent.name for path in run.glob("checkpoints/CKPT*/COMPLETE")}
