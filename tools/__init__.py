"""Programs for maintaining the repository; they are not needed to use PCB-kit."""
