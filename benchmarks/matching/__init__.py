"""Train and measure the matching of people: FEBRL's sets and a generated Chinese population."""
