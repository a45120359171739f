"""python -m npvgg: the same as the command npvgg."""
from npvgg.cli import main

if __name__ == "__main__":
    main()
