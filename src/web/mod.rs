//! What every HTTP route leans on: faults on their way out, limits, guards, pages.
