"""python -m weights_convert.record_trace CHECKPOINT IMAGE…: npvgg.parity.recording as a command."""
from npvgg.parity.recording import command, main, record

__all__ = ["command", "main", "record"]

if __name__ == "__main__":
    main()
