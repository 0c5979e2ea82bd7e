# Step 2: chat in the terminal; Enter twice sends, `exit` leaves.
printf '请给我讲一个小故事吧\n\nexit\n\n' | "$TURGO_BIN" chat "$MODEL"
