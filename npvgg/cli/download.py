"""npvgg download NAME…: fetch published weights and convert them."""
import click

from npvgg.cli import options


@click.command(short_help="Fetch published weights, check and convert them.")
@click.argument("names", nargs=-1, required=True, type=options.Model(), metavar="NAME...")
@options.force
@options.talking
def command(names, force):
    """Fetch the checkpoint called NAME, compare its digest, convert it to HDF5 and keep it in the cache.

    vgg16 is torchvision's, vgg16@keras what Keras publishes; `npvgg models --all` lists the names.  NPVGG_CACHE moves the
    cache; NPVGG_MIRROR names another server.  Of several names one that fails is reported, the others are fetched, and the exit
    status is 8.
    """
    from npvgg import hub, text
    from npvgg.cli import several
    from npvgg.cli.progress import DownloadBar

    def download(name):
        print(text.file_name(hub.download(name, progress=DownloadBar(), force=force)))
        return 0

    return several.each(names, download)
