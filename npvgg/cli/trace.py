"""npvgg trace IMAGE -o FILE: record every intermediate array."""
import click

from npvgg.cli import options


@click.command(short_help="Record every intermediate array of a run.")
@click.argument("images", nargs=-1, required=True, type=options.file, metavar="IMAGE|-...")
@click.option("-o", "--output", required=True, type=options.file, metavar="FILE",
              help="The HDF5 file to write, one dataset a layer.")
@options.model
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True,
              help="float64 is the oracle that float32 runs are judged by.")
@options.threads
@options.tier
@options.force
@options.exif
@options.background
@options.talking
def command(images, output, model, dtype, threads, tier, force, exif, background):
    """Run a network on pictures and write the prepared input and the output of every layer, for `npvgg parity`."""
    from npvgg import images as pictures
    from npvgg import text
    from npvgg.cli import naming, progress
    from npvgg.parity import traces
    from npvgg.storage import atomic_file, hdf5_writing
    from npvgg.version import __version__

    paths = naming.pictures(images)
    atomic_file.refuse_inputs(output, [*paths, model])                # refused now rather than after the work
    hdf5_writing.destination(output, force)
    vgg = progress.load(model, threads=threads, tier=tier).using(dtype=dtype)
    arrays = vgg.trace(pictures.batch(paths, vgg.preset, vgg.dtype, exif=exif, background=background))
    traces.write(output, arrays, architecture_json=vgg.architecture.to_json(), model_name=vgg.source,
                 made_by=f"npvgg {__version__}, {tier} tier, {dtype}", preset=vgg.preset,
                 pictures_sha256=traces.digests(paths), algorithm=vgg.options.algorithm, force=force)
    values = sum(array.size for array in arrays.values())
    progress.say(f"{len(arrays)} arrays of {text.counted(len(paths), 'picture')}, {values:,} values")
    print(text.file_name(output))
