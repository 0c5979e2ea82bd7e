printf 'Please tell me a story\n\nexit\n\n' | lmdeploy serve api_client http://localhost:23333
