"""`python -m kembar` is `kembar`."""

from kembar.cli.app import main

if __name__ == "__main__":
    main()
