FROM busybox
ONBUILD COPY --chmod=600 --chown=1:1 a /a
ONBUILD RUN --mount=target=/c cat /c/a > /b
