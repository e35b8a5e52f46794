FROM busybox
COPY . /x
