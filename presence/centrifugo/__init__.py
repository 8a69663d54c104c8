"""All that speaks to Centrifugo."""
