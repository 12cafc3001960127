"""Who may see what: sites at the door, people, machines, links, the one decision, the audit."""
