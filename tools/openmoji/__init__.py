"""Choose the classes of OpenMoji-LT, and measure how well a classifier distinguishes them."""
