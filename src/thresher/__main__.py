"""`python -m thresher`, which `accelerate launch -m thresher` runs too."""

from thresher.cli import main

if __name__ == "__main__":
    main()
