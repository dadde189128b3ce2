"""What the door and the work both know: settings, domain, providers, platforms and the store."""
