"""`python -m kembar` is `kembar`."""

from kembar.cli import main

if __name__ == "__main__":
    main()
