# Clients that stay for a while and such that connect for each transaction, in turns, until there is a file. The password
# comes by stdin. Each pgbench's exit code and words are printed.
load() {
  PGPASSWORD=$(cat) && export PGPASSWORD
  while [ ! -e "$2" ]; do
    for kind in '' --connect; do
      rate=200
      [ -z "$kind" ] || rate=20
      said=$(pgbench --no-vacuum --select-only --client=50 --jobs=2 --time=5 --rate=$rate $kind \
        "$1 port=6432 user=myuser dbname=mydb" 2>&1)
      echo "=== $? $said"
    done
  done
}
