"""Choose the classes of OpenMoji-LT, and measure whether they can be distinguished."""
