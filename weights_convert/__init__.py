"""Foreign weights come in here: a published checkpoint → {source key: array} → an npvgg weights file."""
