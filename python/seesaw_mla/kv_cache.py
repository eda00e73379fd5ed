"""The paged latent cache: its pages' owner, and operations on its memory (on the CPU)."""

from ._core import PageAllocator, PageCopy, append, convert, copy_pages, gather

__all__ = ["PageAllocator", "PageCopy", "append", "convert", "copy_pages", "gather"]
