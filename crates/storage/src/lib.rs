//! Storage drivers: layers as folders, stacked by the kernel.
