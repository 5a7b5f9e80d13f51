# Runs a command in private mount, pid, network, ipc and host name spaces; the caller is `unshare` (sandbox.rs).
# Deliberately leaves nothing behind: every change to /etc, /home, /var and /dev goes to a tmpfs that ends with
# the command, and every process that it leaves over is killed with the pid name space.
set -eu

# /proc is still the machine's: this is the number by which the machine knows us, for `nsenter`.
read -r POSTERN_SANDBOX_PID _ < /proc/self/stat
export POSTERN_SANDBOX_PID
mount -t proc proc /proc
ip link set lo up

# /mnt always exists, so no mount point is made on the machine's disk.
room=/mnt
mount -t tmpfs -o mode=755 postern $room
for dir in etc home var/log var/mail var/lib; do
    mkdir -p "$room/upper/$dir" "$room/work/$dir"
    chmod --reference="/$dir" "$room/upper/$dir"
    mount -t overlay postern -o "lowerdir=/$dir,upperdir=$room/upper/$dir,workdir=$room/work/$dir" "/$dir"
done

mount -t tmpfs -o mode=755 postern /run
mkdir -p /run/lock /run/sshd /run/sudo /run/user
chmod 711 /run/sudo
: > /run/utmp

# devtmpfs is one for the whole machine: a /dev/log made there would be everybody's.
mkdir $room/dev
mount -t tmpfs -o mode=755 postern $room/dev
for node in null zero full random urandom tty; do
    : > $room/dev/$node
    mount --bind /dev/$node $room/dev/$node
done
mkdir $room/dev/pts $room/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $room/dev/pts
mount -t tmpfs -o mode=1777 postern $room/dev/shm
ln -s pts/ptmx $room/dev/ptmx
ln -s /proc/self/fd $room/dev/fd
ln -s fd/0 $room/dev/stdin
ln -s fd/1 $room/dev/stdout
ln -s fd/2 $room/dev/stderr
mount --move $room/dev /dev

hostname localhost
export POSTERN_SANDBOX=1
"$@"
