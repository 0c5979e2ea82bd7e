exec lmdeploy serve gradio http://localhost:23333 --server-name 0.0.0.0 --server-port 6006
