# Step 4: the terminal client of the server.
"$TURGO_BIN" serve api_client http://localhost:23333
