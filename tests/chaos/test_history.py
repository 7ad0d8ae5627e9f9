import threading

from chaos.history import Writer, read_history


def test_lines_of_many_threads_stay_whole_and_a_torn_last_line_is_left_out(tmp_path):
    writer = Writer(tmp_path, "client", 3)
    threads = [
        threading.Thread(
            target=lambda n=n: [writer.write("end", call=f"{n}-{i}") for i in range(200)]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    with writer.path.open("a") as file:
        file.write('{"at": 1, "ev')

    events = list(read_history(writer.path))

    assert len({event["call"] for event in events}) == 1600
    assert writer.path.name.startswith("client-3-")
