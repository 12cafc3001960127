"""XUA: who asks by SOAP, as an organisation that the hub trusts asserts it (ITI-40, SAML 2.0)."""
