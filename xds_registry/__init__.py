"""Documents of the region and what is known about them: IHE XDS.b and XDS-I.b."""
