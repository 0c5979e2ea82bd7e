exec lmdeploy serve api_server "$MODEL" --model-format hf --quant-policy 0 --server-name 0.0.0.0 --server-port 23333 --tp 1
