"""The tick: what is polled, committed and published. Knows neither Django nor settings."""
