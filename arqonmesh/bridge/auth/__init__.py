"""Who a client is: tokens and keys that it shows, judged before the bus sees it, and again when it shows newer ones.

authenticator.py  what was shown → an Identity, or the refusal of it
tokens.py         JSON Web Tokens: signature, dates, claims
token_keys.py     the keys that tokens are checked with: a secret, a PEM file, a JWKS file
api_keys.py       API keys: made by `arqon bus key new`, or learned from the cluster; judged, revoked
key_file.py       the file they are in, hashed: bus-keys.db
mint.py           tokens for tests, from the node's own secret
"""
