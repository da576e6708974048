"""The live screen of `arqon mesh status`: state.py keeps what is known, page.py draws it, app.py feeds both."""
