"""The demo: real studies from three township sites, checked through the outside surface."""
