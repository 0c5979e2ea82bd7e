printf 'Please tell me a story\n\nexit\n\n' | lmdeploy chat "$MODEL"
