# Step 4: the terminal client of the server, with the keys of step 2.
printf '请给我讲一个小故事吧\n\nexit\n\n' | "$TURGO_BIN" serve api_client http://localhost:23333
