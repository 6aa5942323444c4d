# nchan, a module of nginx (Debian: libnginx-mod-nchan): what anybody says goes to all who are there.
# Takes a port and an empty directory.
set -eu
port=$1
dir=$2
cat > "$dir/nginx.conf" <<CONF
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
master_process off;
worker_rlimit_nofile 20000;
pid $dir/nginx.pid;
error_log stderr error;
events { worker_connections 15000; }
http {
    access_log off;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            nchan_pubsub websocket;
            nchan_channel_id all;
            nchan_message_buffer_length 100;
        }
    }
}
CONF
(
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
    echo "listening on http://127.0.0.1:$port"
) &
exec /usr/sbin/nginx -p "$dir" -c "$dir/nginx.conf"
