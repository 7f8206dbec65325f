"""A shared image-generation server as a library: accounts, boards, pictures, workflows, a queue and a diffusion engine."""

from ._native import *
from ._native import __all__ as __all__
